coffer_test(node_zones_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_zones_test.cc LIBS coffer_node_core LABELS quick)
