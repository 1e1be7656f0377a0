coffer_test(planner_force_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/planner_force_test.cc LIBS coffer_cluster LABELS quick)
