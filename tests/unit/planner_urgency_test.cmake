coffer_test(planner_urgency_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/planner_urgency_test.cc LIBS coffer_cluster LABELS quick)
