coffer_test(layout_legality_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/layout_legality_test.cc LIBS coffer_cluster LABELS quick)
