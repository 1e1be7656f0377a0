coffer_test(checksum_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/checksum_test.cc LIBS coffer_cluster LABELS quick)
