coffer_test(node_commit_marks_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_commit_marks_test.cc LIBS coffer_node_core LABELS quick)
