# The gRPC front door: services over router::Api. Knows no node and no core but the words of errors and methods.
file(GLOB FRONT_SOURCES CONFIGURE_DEPENDS front_*.cc)
add_library(coffer_front STATIC ${FRONT_SOURCES})
target_link_libraries(coffer_front PUBLIC coffer_router_answers PRIVATE coffer_link coffer_grpc
                      Threads::Threads)
