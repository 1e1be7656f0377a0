coffer_test(rebalance_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/rebalance_test.cc LIBS coffer_cluster LABELS quick)
