coffer_test(learner_gone_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/learner_gone_test.cc LIBS coffer_node_core LABELS quick)
