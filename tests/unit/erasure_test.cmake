coffer_test(erasure_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/erasure_test.cc LIBS coffer_node_core LABELS quick)
