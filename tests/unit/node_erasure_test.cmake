coffer_test(node_erasure_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_erasure_test.cc LIBS coffer_node_core LABELS quick)
