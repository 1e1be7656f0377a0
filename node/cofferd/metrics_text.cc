#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <map>
#include <sstream>

#include "node/cofferd/metrics.h"

namespace coffer::server {
namespace {

prometheus::ClientMetric Sample(MetricsWriter::Labels labels) {
  prometheus::ClientMetric sample;
  for (const auto& [name, value] : labels) sample.label.push_back({name, value});
  return sample;
}

}  // namespace

struct MetricsWriter::Families {
  std::vector<prometheus::MetricFamily> all;
  std::map<std::string, std::size_t> by_name;

  prometheus::MetricFamily& Of(const char* name, const char* help, prometheus::MetricType type) {
    const auto [at, fresh] = by_name.try_emplace(name, all.size());
    if (fresh) all.push_back({name, help, type, {}});
    return all[at->second];
  }
};

MetricsWriter::MetricsWriter() : families_(std::make_unique<Families>()) {}
MetricsWriter::~MetricsWriter() = default;

void MetricsWriter::Gauge(const char* name, const char* help, double value, Labels labels) {
  prometheus::ClientMetric sample = Sample(labels);
  sample.gauge.value = value;
  families_->Of(name, help, prometheus::MetricType::Gauge).metric.push_back(std::move(sample));
}

void MetricsWriter::Counter(const char* name, const char* help, double value, Labels labels) {
  prometheus::ClientMetric sample = Sample(labels);
  sample.counter.value = value;
  families_->Of(name, help, prometheus::MetricType::Counter).metric.push_back(std::move(sample));
}

void MetricsWriter::Histogram(const char* name, const char* help, const std::vector<double>& bounds,
                              const std::vector<std::uint64_t>& counts, double sum, Labels labels) {
  prometheus::ClientMetric sample = Sample(labels);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    total += counts[i];
    sample.histogram.bucket.push_back({total, bounds[i]});
  }
  sample.histogram.sample_count = total + counts.back();
  sample.histogram.sample_sum = sum;
  families_->Of(name, help, prometheus::MetricType::Histogram).metric.push_back(std::move(sample));
}

std::string MetricsWriter::Text() const {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families_->all);
  return out.str();
}

std::string MetricsText(const std::vector<MetricsSource>& sources) {
  MetricsWriter writer;
  for (const MetricsSource& source : sources) source(&writer);
  return writer.Text();
}

}  // namespace coffer::server
