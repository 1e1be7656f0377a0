coffer_test(learner_disk_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/learner_disk_test.cc LIBS coffer_node_core LABELS quick)
