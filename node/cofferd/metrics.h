// What one scrape says. Sources are asked anew at every scrape; nothing is kept but what they keep.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace coffer::server {

// Gathers samples and writes them in the text format of Prometheus. For one thread.
class MetricsWriter {
 public:
  using Labels = std::initializer_list<std::pair<const char*, std::string>>;  // never ids or users

  MetricsWriter();
  ~MetricsWriter();

  // Samples of one name may come apart; the help is taken from the first. Names: coffer_*, base units.
  void Gauge(const char* name, const char* help, double value, Labels labels = {});
  // The name ends in _total.
  void Counter(const char* name, const char* help, double value, Labels labels = {});
  // `counts` has one more than `bounds`: those above all; not cumulative.
  void Histogram(const char* name, const char* help, const std::vector<double>& bounds,
                 const std::vector<std::uint64_t>& counts, double sum, Labels labels = {});

  std::string Text() const;

 private:
  struct Families;
  std::unique_ptr<Families> families_;
};

// What node, router and front are to a scrape. Called on the metrics listener's thread; may take a second.
using MetricsSource = std::function<void(MetricsWriter*)>;

std::string MetricsText(const std::vector<MetricsSource>& sources);

}  // namespace coffer::server
