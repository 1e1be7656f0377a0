coffer_test(layout_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/layout_test.cc LIBS coffer_cluster LABELS quick)
