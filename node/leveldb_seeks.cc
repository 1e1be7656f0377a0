// LevelDB's merges because of reads, which we do without (docs/decisions/0018-no-merges-for-reads.md).
//
// LevelDB counts a seek against a table whenever a read looked into it and into another, though the table's filter answered without the disk,
// and merges the table into the next level when 512 have been counted against it: a store whose blocks are read at random is written anew
// level by level. The linker gives every call of the function that counts them to the one below (--wrap, CMakeLists.txt). The samples that
// long scans take, for which no filter speaks, LevelDB counts as before.
namespace coffer::node {

// Counts nothing. For leveldb::Version::UpdateStats(const GetStats&): true would say that a merge became due.
bool CountNoSeek(const void* version, const void* stats) asm("__wrap__ZN7leveldb7Version11UpdateStatsERKNS0_8GetStatsE");

bool CountNoSeek(const void*, const void*) { return false; }

}  // namespace coffer::node
