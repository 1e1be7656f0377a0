coffer_test(planner_evolution_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/planner_evolution_test.cc LIBS coffer_cluster LABELS quick)
