coffer_test(partition_map_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/partition_map_test.cc LIBS coffer_node_core LABELS quick)
