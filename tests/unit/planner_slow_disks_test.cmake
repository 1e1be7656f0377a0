coffer_test(planner_slow_disks_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/planner_slow_disks_test.cc LIBS coffer_cluster LABELS quick)
