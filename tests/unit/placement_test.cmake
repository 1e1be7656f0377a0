coffer_test(placement_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/placement_test.cc LIBS coffer_cluster LABELS quick)
