coffer_test(node_term_change_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_term_change_test.cc LIBS coffer_node_core LABELS quick)
