coffer_test(node_planning_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_planning_test.cc LIBS coffer_node_core LABELS quick)
