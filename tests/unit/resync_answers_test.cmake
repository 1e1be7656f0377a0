coffer_test(resync_answers_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/resync_answers_test.cc LIBS coffer_node_core LABELS quick)
