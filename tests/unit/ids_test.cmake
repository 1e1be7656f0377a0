coffer_test(ids_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/ids_test.cc LIBS coffer_cluster LABELS quick)
