coffer_test(node_scrub_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_scrub_test.cc LIBS coffer_node_core LABELS quick)
