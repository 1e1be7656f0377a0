coffer_test(join_tokens_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/join_tokens_test.cc LIBS coffer_node_core LABELS quick)
