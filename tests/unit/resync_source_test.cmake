coffer_test(resync_source_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/resync_source_test.cc LIBS coffer_node_core LABELS quick)
