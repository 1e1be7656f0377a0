coffer_test(learner_count_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/learner_count_test.cc LIBS coffer_node_core LABELS quick)
