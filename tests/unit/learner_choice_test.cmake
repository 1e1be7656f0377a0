coffer_test(learner_choice_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/learner_choice_test.cc LIBS coffer_node_core LABELS quick)
