// LevelDB's merges because of reads, which we do without (docs/decisions/0018-no-merges-for-reads.md).
//
// LevelDB counts a seek against a table whenever a read had to look into a second one, though the first one's filter answered without
// the disk, and merges the table into the next level when enough have been counted against it, 512 for ours: a store whose blocks are read
// at random is written anew level by level. The linker gives the call by which a get counts them to the function below (--wrap,
// CMakeLists.txt). The samples that long scans take, for which no filter speaks, are counted within the same object of LevelDB, where
// GNU's linker changes nothing.
namespace coffer::node {

// Counts nothing. For leveldb::Version::UpdateStats(const GetStats&): true would say that a merge became due.
bool CountNoSeek(const void* version, const void* stats) asm("__wrap__ZN7leveldb7Version11UpdateStatsERKNS0_8GetStatsE");

bool CountNoSeek(const void*, const void*) { return false; }

// LevelDB's own. Named so that a program does not link with a LevelDB where it has another name, and nothing would be wrapped.
bool CountSeek(const void* version, const void* stats) asm("__real__ZN7leveldb7Version11UpdateStatsERKNS0_8GetStatsE");

[[gnu::used]] static constexpr auto kReplaced = &CountSeek;

}  // namespace coffer::node
