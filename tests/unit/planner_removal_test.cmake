coffer_test(planner_removal_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/planner_removal_test.cc LIBS coffer_cluster LABELS quick)
