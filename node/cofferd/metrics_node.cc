#include "node/cofferd/metrics_node.h"

#include <algorithm>

#include "node/node_process.h"
#include "router/router_process.h"

namespace coffer::server {
namespace {

double Number(std::uint64_t value) { return static_cast<double>(value); }

void WriteLinks(const link::HubStats& stats, const std::string& side, MetricsWriter* writer) {
  writer->Gauge("coffer_links", "Members this process is linked with.", Number(stats.links), {{"side", side}});
  writer->Gauge("coffer_link_queue_bytes", "Waiting to be sent to members.", Number(stats.queued_bytes), {{"side", side}});
  writer->Counter("coffer_link_sent_bytes_total", "Sent to members.", Number(stats.bytes_sent), {{"side", side}});
  writer->Counter("coffer_link_received_bytes_total", "Received from members.", Number(stats.bytes_received), {{"side", side}});
  writer->Counter("coffer_link_messages_sent_total", "Messages sent to members.", Number(stats.messages_sent), {{"side", side}});
  writer->Counter("coffer_link_frames_sent_total", "Frames they were sent in.", Number(stats.frames_sent), {{"side", side}});
  writer->Counter("coffer_link_refused_total", "Handshakes refused.", Number(stats.handshakes_refused), {{"side", side}});
  const char* dropped = "Messages to members that were dropped, by cause.";
  writer->Counter("coffer_link_dropped_total", dropped, Number(stats.dropped_full), {{"side", side}, {"cause", "queue_full"}});
  writer->Counter("coffer_link_dropped_total", dropped, Number(stats.dropped_unlinked), {{"side", side}, {"cause", "no_link"}});
  writer->Counter("coffer_link_dropped_total", dropped, Number(stats.dropped_at_end), {{"side", side}, {"cause", "link_ended"}});
  writer->Counter("coffer_link_dropped_total", dropped, Number(stats.dropped_oversize), {{"side", side}, {"cause", "too_large"}});
  const char* ended = "Links to members that were ended because of what came over them, by cause.";
  writer->Counter("coffer_link_faults_total", ended, Number(stats.malformed_received), {{"side", side}, {"cause", "damaged"}});
  writer->Counter("coffer_link_faults_total", ended, Number(stats.broken_off), {{"side", side}, {"cause", "missing"}});
  writer->Counter("coffer_link_faults_total", ended, Number(stats.oversize_received), {{"side", side}, {"cause", "too_large"}});
}

void WriteDisk(const node::StoreHealth& health, MetricsWriter* writer) {
  writer->Gauge("coffer_disk_free_bytes", "Free on the disk of the data folder.", Number(health.free_bytes));
  writer->Gauge("coffer_disk_size_bytes", "Size of that disk.", Number(health.total_bytes));
  writer->Gauge("coffer_store_bytes", "Used by this store.", Number(health.used_bytes));
  writer->Gauge("coffer_disk_full", "1 while writes are refused because the disk is full to its reserve.", health.full ? 1 : 0);
  writer->Gauge("coffer_disk_failed", "1 once a write or sync has failed.", health.failed ? 1 : 0);
  writer->Gauge("coffer_disk_slow", "1 while the disk takes long to sync, and half a minute longer.", health.slow ? 1 : 0);
  writer->Gauge("coffer_disk_sync_age_seconds", "Since the disk last synced; high: it hangs.",
                std::chrono::duration<double>(health.since_last_sync).count());
}

void WriteValueLog(const node::LevelDbStore::Counters& store, MetricsWriter* writer) {
  const char* segments = "Segments of the log of values: with values, and empty ones kept to be used again.";
  writer->Gauge("coffer_value_log_segments", segments, Number(store.segments), {{"state", "used"}});
  writer->Gauge("coffer_value_log_segments", segments, Number(store.spare_segments), {{"state", "spare"}});
  const char* bytes = "Bytes in used segments: of values that are needed, and garbage.";
  writer->Gauge("coffer_value_log_bytes", bytes, Number(store.live_value_bytes), {{"state", "live"}});
  writer->Gauge("coffer_value_log_bytes", bytes, Number(store.garbage_value_bytes), {{"state", "garbage"}});
  writer->Counter("coffer_value_log_cleaned_segments_total", "Segments freed of garbage.", Number(store.cleaned_segments));
  writer->Counter("coffer_value_log_moved_bytes_total", "Values written again to free their segments of garbage.",
                  Number(store.moved_value_bytes));
}

void WriteScrub(const coffer::v1::ScrubStatus& scrub, MetricsWriter* writer) {
  writer->Gauge("coffer_scrub_running", "1 while a pass reads back what is stored.",
                scrub.state() == coffer::v1::SCRUB_STATE_RUNNING ? 1 : 0);
  writer->Gauge("coffer_scrub_blocks", "Blocks read in this pass, or in the last one.", Number(scrub.blocks_done()));
  writer->Gauge("coffer_scrub_bytes", "Bytes read in this pass, or in the last one.", Number(scrub.bytes_done()));
  writer->Gauge("coffer_scrub_bad_blocks", "Of these blocks: those that did not verify.", Number(scrub.bad_blocks()));
  writer->Gauge("coffer_scrub_unreadable_partitions", "Partitions of this pass that can't be read to their end.",
                Number(scrub.unreadable_partitions()));
  writer->Gauge("coffer_scrub_last_pass_seconds", "When the last whole pass ended, seconds since 1970; 0: none has.",
                Number(scrub.last_pass_ms()) / 1000);
  writer->Counter("coffer_scrub_copies_compared_total", "Copies of partitions compared with the primary's.",
                  Number(scrub.copies_compared()));
  writer->Counter("coffer_scrub_copies_differing_total", "Of these, those that differ although both verify.",
                  Number(scrub.copies_differing()));
}

void WriteCacheDisk(const router::RouterCounters& core, MetricsWriter* writer) {
  const router::DiskCounters& disk = *core.disk;
  writer->Gauge("coffer_cache_disk_up", "1 while the cache's disk is used, 0 once it was switched off.", disk.off_because.empty() ? 1 : 0);
  writer->Counter("coffer_cache_disk_hits_total", "Chunks found on the cache's disk.", Number(disk.hits));
  writer->Counter("coffer_cache_disk_misses_total", "Chunks found neither in memory nor there.", Number(disk.misses));
  writer->Counter("coffer_cache_disk_writes_total", "Records written there.", Number(disk.writes));
  writer->Counter("coffer_cache_disk_moves_total", "Of these, chunks written again because they were read.", Number(disk.moves));
  writer->Counter("coffer_cache_disk_evictions_total", "Chunks that made room there.", Number(disk.evictions));
  writer->Counter("coffer_cache_disk_bad_records_total", "Records that did not verify; a node was asked.", Number(disk.bad_records));
  writer->Counter("coffer_cache_disk_skipped_total", "Chunks not written or not looked for because the disk was behind.",
                  Number(disk.skipped));
  for (const router::NamedZoneHits& zone : core.cache_zones) {
    const char* help = "Chunks that were not in memory, found on the cache's disk, and not found, by zone.";
    writer->Counter("coffer_cache_disk_zone_lookups_total", help, Number(zone.disk_hits), {{"zone", zone.name}, {"found", "yes"}});
    writer->Counter("coffer_cache_disk_zone_lookups_total", help, Number(zone.disk_misses), {{"zone", zone.name}, {"found", "no"}});
  }
  writer->Gauge("coffer_cache_disk_bytes", "Bytes on the cache's disk.", Number(disk.bytes));
  writer->Gauge("coffer_cache_disk_chunks", "Chunks on the cache's disk.", Number(disk.chunks));
  writer->Gauge("coffer_cache_disk_queue", "Records that wait to be written there.", Number(disk.queued));
  writer->Gauge("coffer_cache_disk_index_bytes", "Memory that says where they are.", Number(disk.index_bytes));
}

}  // namespace

void WriteNodeMetrics(const node::NodeMetrics& metrics, MetricsWriter* writer) {
  const auto& self = metrics.report.self();
  WriteDisk(metrics.health, writer);
  if (self.has_scrub()) WriteScrub(self.scrub(), writer);
  writer->Gauge("coffer_node_epoch", "Version of the layout this node has.", Number(metrics.epoch));
  writer->Gauge("coffer_node_blocks", "Chunks and chains this node stores.", Number(self.blocks()));
  writer->Gauge("coffer_node_data_bytes", "Their bytes.", Number(self.data_bytes()));
  writer->Counter("coffer_bad_blocks_total", "Bad blocks found by reading.", Number(self.bad_blocks()));
  writer->Counter("coffer_repaired_blocks_total", "Of these, repaired from the other copy.", Number(self.repaired_blocks()));
  writer->Gauge("coffer_lost_blocks", "Blocks of its partitions that were found damaged on every copy.", Number(self.lost_blocks()));
  writer->Counter("coffer_quarantined_writes_total", "Uncommitted writes set aside into the quarantine file.",
                  Number(self.quarantined_writes()));
  writer->Counter("coffer_store_batches_total", "Batches written.", Number(metrics.store.batches));
  writer->Counter("coffer_store_group_commits_total", "Group commits, each one fdatasync.", Number(metrics.store.group_commits));
  writer->Counter("coffer_store_written_bytes_total", "Written to the disk, compactions included.", Number(metrics.store.bytes_written));
  writer->Counter("coffer_store_damaged_reads_total", "Reads that did not verify.", Number(metrics.store.damaged_reads));
  writer->Counter("coffer_store_prompt_reads_total", "Reads that did not wait for the disk.", Number(metrics.store.prompt_reads));
  writer->Counter("coffer_store_deferred_reads_total", "Reads left to another thread: they would have waited for the disk, or were large.",
                  Number(metrics.store.deferred_reads));
  WriteValueLog(metrics.store, writer);
  WriteLinks(metrics.links, "node", writer);
}

void WriteNodePartitions(const cluster::Layout& layout, const NodeId& self, MetricsWriter* writer) {
  const cluster::MemberIndex me = layout.IndexOf(self);
  int primaries = 0;
  int replicas = 0;
  int arriving = 0;
  for (const cluster::Group& group : layout.partitions) {
    const bool primary = group.primary == me;
    const bool in_sync = std::find(group.in_sync.begin(), group.in_sync.end(), me) != group.in_sync.end();
    const bool wanted = std::find(group.goal.begin(), group.goal.end(), me) != group.goal.end();
    primaries += primary;
    replicas += in_sync && !primary;
    arriving += wanted && !in_sync;
  }
  const bool member = me != cluster::kNoMember;
  const char* help = "Partitions of this node: held as primary, as replica, and still to be received.";
  writer->Gauge("coffer_node_partitions", help, member ? primaries : 0, {{"part", "primary"}});
  writer->Gauge("coffer_node_partitions", help, member ? replicas : 0, {{"part", "replica"}});
  writer->Gauge("coffer_node_partitions", help, member ? arriving : 0, {{"part", "arriving"}});
}

void WriteRouterMetrics(const router::RouterMetrics& metrics, MetricsWriter* writer) {
  const auto& cache = metrics.core.cache;
  const auto& dispatcher = metrics.core.dispatcher;
  writer->Gauge("coffer_router_epoch", "Version of the layout this router has; 0: none yet.", Number(metrics.epoch));
  writer->Counter("coffer_cache_hits_total", "Chunks found in the cache's memory.", Number(cache.hits));
  writer->Counter("coffer_cache_misses_total", "Chunks not found there.", Number(cache.misses));
  writer->Counter("coffer_cache_evictions_total", "Chunks put out to make room.", Number(cache.evictions));
  for (const router::NamedZoneHits& zone : metrics.core.cache_zones) {
    const char* help = "Chunks found in the cache's memory, and not found, by zone: the busiest 100; without a name: all others.";
    writer->Counter("coffer_cache_zone_lookups_total", help, Number(zone.hits), {{"zone", zone.name}, {"found", "yes"}});
    writer->Counter("coffer_cache_zone_lookups_total", help, Number(zone.misses), {{"zone", zone.name}, {"found", "no"}});
  }
  writer->Gauge("coffer_cache_bytes", "Memory in use.", Number(cache.bytes));
  writer->Gauge("coffer_cache_chunks", "Chunks in the cache.", Number(cache.entries));
  const auto& ends = metrics.core.chain_ends;
  writer->Counter("coffer_chain_ends_asked_total", "Reads of a chain's last entries for which they were kept.", Number(ends.asked));
  writer->Counter("coffer_chain_ends_used_total", "Of these, chains that ended there still: nothing was sent again.", Number(ends.used));
  writer->Gauge("coffer_chain_ends_bytes", "Memory of the ends of chains that are kept.", Number(ends.bytes));
  if (metrics.core.disk) WriteCacheDisk(metrics.core, writer);
  writer->Counter("coffer_router_operations_total", "Operations on nodes begun.", Number(dispatcher.operations));
  writer->Counter("coffer_router_retries_total", "Attempts after the first.", Number(dispatcher.retries));
  writer->Counter("coffer_router_fences_total", "Attempts refused because the layout had moved on.", Number(dispatcher.fences));
  writer->Counter("coffer_router_hedges_total", "Reads also asked of another copy.", Number(dispatcher.hedges));
  writer->Counter("coffer_router_hedges_won_total", "... whose answer was used.", Number(dispatcher.hedges_won));
  writer->Counter("coffer_router_outcomes_unknown_total", "Writes that ended without a known outcome.", Number(dispatcher.outcomes_unknown));
  writer->Counter("coffer_router_shed_total", "Calls refused for a bound.", Number(metrics.core.shed_calls + metrics.shed_before_core));
  writer->Gauge("coffer_router_queued_bytes", "Bytes of the requests under way in the router.", Number(metrics.core.queued_bytes));
  WriteLinks(metrics.links, "router", writer);
}

}  // namespace coffer::server
