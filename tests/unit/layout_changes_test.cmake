coffer_test(layout_changes_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/layout_changes_test.cc LIBS coffer_cluster LABELS quick)
