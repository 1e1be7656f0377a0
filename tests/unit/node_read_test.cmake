coffer_test(node_read_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_read_test.cc LIBS coffer_node_core LABELS quick)
