coffer_test(fill_window_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/fill_window_test.cc LIBS coffer_node_core LABELS quick)
