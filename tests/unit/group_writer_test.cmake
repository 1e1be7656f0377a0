coffer_test(group_writer_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/group_writer_test.cc LIBS coffer_store LABELS quick)
