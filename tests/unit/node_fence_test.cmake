coffer_test(node_fence_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_fence_test.cc LIBS coffer_node_core LABELS quick)
