coffer_test(lineage_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/lineage_test.cc LIBS coffer_cluster LABELS quick)
