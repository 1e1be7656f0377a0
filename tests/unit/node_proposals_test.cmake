coffer_test(node_proposals_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_proposals_test.cc LIBS coffer_node_core LABELS quick)
