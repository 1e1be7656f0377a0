coffer_test(node_zone_deletion_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_zone_deletion_test.cc LIBS coffer_node_core LABELS quick)
