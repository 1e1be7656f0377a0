coffer_test(chain_tails_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/chain_tails_test.cc LIBS coffer_node_core LABELS quick)
