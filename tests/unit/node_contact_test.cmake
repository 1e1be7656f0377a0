coffer_test(node_contact_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/node_contact_test.cc LIBS coffer_node_core LABELS quick)
