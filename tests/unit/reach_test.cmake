coffer_test(reach_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/reach_test.cc LIBS coffer_node_core LABELS quick)
