coffer_test(replication_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/replication_test.cc LIBS coffer_cluster LABELS quick)
