add_library(client_fake_router STATIC ${CMAKE_CURRENT_LIST_DIR}/client_fake_router.cc
  ${CMAKE_CURRENT_LIST_DIR}/client_fake_cluster.cc)
target_include_directories(client_fake_router PUBLIC ${CMAKE_CURRENT_LIST_DIR}/..)
target_link_libraries(client_fake_router PUBLIC coffer_client coffer_grpc)

coffer_test(client_retry_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_retry_test.cc LIBS coffer_client LABELS quick)
coffer_test(client_router_choice_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_router_choice_test.cc LIBS coffer_client LABELS quick)
coffer_test(client_transport_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_transport_test.cc LIBS client_fake_router LABELS quick)
coffer_test(client_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_test.cc LIBS client_fake_router LABELS quick)
coffer_test(client_zone_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_zone_test.cc LIBS client_fake_router LABELS quick)

foreach(name cli_status_test cli_data_test cli_chain_test cli_bench_test)
  coffer_test(${name} SOURCES ${CMAKE_CURRENT_LIST_DIR}/${name}.cc LIBS coffer_command client_fake_router coffer_link LABELS quick)
endforeach()
coffer_test(cli_operator_test
  SOURCES ${CMAKE_CURRENT_LIST_DIR}/cli_operator_test.cc ${CMAKE_CURRENT_LIST_DIR}/cli_help_test.cc
          ${CMAKE_CURRENT_LIST_DIR}/cli_join_test.cc
  LIBS coffer_command client_fake_router coffer_link LABELS quick)
target_compile_definitions(cli_operator_test PRIVATE COFFER_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
coffer_test(client_response_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_response_test.cc LIBS coffer_client LABELS quick)
coffer_test(client_request_frame_test SOURCES ${CMAKE_CURRENT_LIST_DIR}/client_request_frame_test.cc LIBS coffer_client coffer_link coffer_grpc LABELS quick)
