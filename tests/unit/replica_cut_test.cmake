coffer_test(replica_cut_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/replica_cut_test.cc LIBS coffer_node_core LABELS quick)
