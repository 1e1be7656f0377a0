coffer_test(node_known_end_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_known_end_test.cc LIBS coffer_node_core LABELS quick)
