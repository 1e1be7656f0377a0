coffer_test(segment_file_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/segment_file_test.cc LIBS coffer_store LABELS quick)
