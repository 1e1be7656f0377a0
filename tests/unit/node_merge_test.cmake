coffer_test(node_merge_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_merge_test.cc LIBS coffer_node_core LABELS quick)
