coffer_test(store_codec_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_codec_test.cc LIBS coffer_store_core LABELS quick)
coffer_test(store_conformance_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_conformance_test.cc LIBS coffer_store LABELS quick)
coffer_test(memory_store_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/memory_store_test.cc LIBS coffer_store_core LABELS quick)
coffer_test(store_agreement_file_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_agreement_file_test.cc LIBS coffer_store LABELS quick)
coffer_test(store_data_folder_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_data_folder_test.cc LIBS coffer_store LABELS quick)
coffer_test(store_quarantine_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_quarantine_test.cc LIBS coffer_store LABELS quick)
coffer_test(store_leveldb_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_leveldb_test.cc ${CMAKE_CURRENT_LIST_DIR}/store_leveldb_room_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/store_leveldb_damage_test.cc ${CMAKE_CURRENT_LIST_DIR}/store_prompt_read_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/store_synced_mark_test.cc
  LIBS coffer_store LABELS quick)
if(NOT COFFER_SANITIZE MATCHES thread)  # which links LevelDB's library as it is
  target_sources(store_leveldb_test PRIVATE ${CMAKE_CURRENT_LIST_DIR}/store_leveldb_seeks_test.cc)
endif()
coffer_test(store_value_log_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/store_value_log_test.cc ${CMAKE_CURRENT_LIST_DIR}/store_value_place_test.cc
  LIBS coffer_store LABELS quick)
