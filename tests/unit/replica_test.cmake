coffer_test(replica_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/replica_test.cc LIBS coffer_node_core LABELS quick)
