coffer_test(sync_watch_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/sync_watch_test.cc LIBS coffer_store_core LABELS quick)
