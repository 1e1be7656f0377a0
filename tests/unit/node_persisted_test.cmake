coffer_test(node_persisted_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_persisted_test.cc LIBS coffer_node_core LABELS quick)
