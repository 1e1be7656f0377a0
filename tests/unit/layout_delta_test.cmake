coffer_test(layout_delta_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/layout_delta_test.cc LIBS coffer_cluster LABELS quick)
