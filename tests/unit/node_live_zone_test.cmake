coffer_test(node_live_zone_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_live_zone_test.cc LIBS coffer_node_core LABELS quick)
